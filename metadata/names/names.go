// Package names says which names of streams and which NATS subjects are allowed, and how subjects match. It is a leaf:
// servers and clients use the same rules.
package names

import (
	"fmt"
	"strings"
)

// MaxLength is the length in bytes that no name of a stream exceeds.
const MaxLength = 128

// MaxSubjectLength is the length in bytes that no subject exceeds.
const MaxSubjectLength = 1024

// Error says what is wrong with a name or a subject, and what would be right.
type Error struct {
	Kind    string // "stream name" or "subject"
	Name    string
	Problem string
	Remedy  string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %q %s; %s", e.Kind, e.Name, e.Problem, e.Remedy)
}

// Stream checks the name of a stream: 1 to 128 of [A-Za-z0-9_.:-], the first neither . nor -. Names that begin with __
// are the broker's own and refused here.
func Stream(name string) error {
	refuse := func(problem string) error {
		return &Error{
			Kind: "stream name", Name: name, Problem: problem,
			Remedy: "use 1 to 128 of A-Z a-z 0-9 _ . : -, the first neither . nor -",
		}
	}
	switch {
	case name == "":
		return refuse("is empty")
	case len(name) > MaxLength:
		return refuse(fmt.Sprintf("has %d bytes", len(name)))
	case name[0] == '.', name[0] == '-':
		return refuse("begins with " + name[:1])
	case strings.HasPrefix(name, "__"):
		return &Error{Kind: "stream name", Name: name, Problem: "begins with __", Remedy: "such names are the broker's own; choose another"}
	}
	for i := range len(name) {
		if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-", rune(name[i])) {
			return refuse(fmt.Sprintf("contains %q", name[i]))
		}
	}
	return nil
}

// Pattern checks a subject that a stream records: tokens between dots, * for one token, > for all that follow.
func Pattern(subject string) error {
	if err := wellFormed(subject); err != nil {
		return err
	}
	if Reserved(subject) {
		return refuseSubject(subject, "is NATS's own", "subjects that begin with $ or _INBOX. are not recorded; choose another")
	}
	tokens := strings.Split(subject, ".")
	for i, token := range tokens {
		if token == ">" && i < len(tokens)-1 {
			return refuseSubject(subject, "goes on after >", "> stands for all tokens that follow and comes last")
		}
	}
	return nil
}

// Literal checks a subject that a message may be published on: no wildcards.
func Literal(subject string) error {
	if err := wellFormed(subject); err != nil {
		return err
	}
	for token := range strings.SplitSeq(subject, ".") {
		if token == "*" || token == ">" {
			return refuseSubject(subject, "has a wildcard", "a message is published on one subject; replace "+token)
		}
	}
	return nil
}

func wellFormed(subject string) error {
	switch {
	case subject == "":
		return refuseSubject(subject, "is empty", "name a NATS subject, such as orders.>")
	case len(subject) > MaxSubjectLength:
		return refuseSubject(subject[:MaxSubjectLength], fmt.Sprintf("has %d bytes", len(subject)), fmt.Sprintf("the longest has %d", MaxSubjectLength))
	case strings.ContainsAny(subject, " \t\r\n\x00"):
		return refuseSubject(subject, "contains white space or a zero byte", "remove it")
	case subject[0] == '.', subject[len(subject)-1] == '.', strings.Contains(subject, ".."):
		return refuseSubject(subject, "has an empty token", "put something between the dots")
	}
	return nil
}

func refuseSubject(subject, problem, remedy string) error {
	return &Error{Kind: "subject", Name: subject, Problem: problem, Remedy: remedy}
}

// Reserved says whether messages on the subject are never recorded, whatever pattern matches them.
func Reserved[T string | []byte](subject T) bool {
	const inbox = "_INBOX."
	return len(subject) > 0 && subject[0] == '$' || len(subject) >= len(inbox) && string(subject[:len(inbox)]) == inbox
}

// Matches says whether the literal subject is one that the pattern stands for.
func Matches(pattern, subject string) bool {
	for {
		token, restPattern, morePattern := strings.Cut(pattern, ".")
		if token == ">" {
			return subject != ""
		}
		part, restSubject, moreSubject := strings.Cut(subject, ".")
		if token != "*" && token != part {
			return false
		}
		if !morePattern || !moreSubject {
			return morePattern == moreSubject
		}
		pattern, subject = restPattern, restSubject
	}
}

// Overlap says whether there is a subject that both patterns stand for.
func Overlap(a, b string) bool {
	for {
		tokenA, restA, moreA := strings.Cut(a, ".")
		tokenB, restB, moreB := strings.Cut(b, ".")
		if tokenA == ">" || tokenB == ">" {
			return true
		}
		if tokenA != "*" && tokenB != "*" && tokenA != tokenB {
			return false
		}
		if !moreA || !moreB {
			return moreA == moreB
		}
		a, b = restA, restB
	}
}
