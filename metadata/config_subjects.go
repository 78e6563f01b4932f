package metadata

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/trestlehq/trestle/metadata/names"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// checkSubjects checks the subjects and that the partitions that record them can be told apart.
func checkSubjects(c *trestlev1.StreamConfig, internal bool) error {
	subjects := c.GetSubjects()
	if internal && len(subjects) == 0 {
		return nil // brokers append to it, and it subscribes to nothing (protocol.md 2.12)
	}
	if len(subjects) == 0 || len(subjects) > maxSubjects {
		return invalid("subjects", fmt.Sprintf("%d entries", len(subjects)), "is out of range", fmt.Sprintf("name 1 to %d NATS subjects to record, such as orders.>", maxSubjects))
	}
	for i, subject := range subjects {
		if err := names.Pattern(subject); err != nil {
			return err
		}
		for _, other := range subjects[:i] {
			if names.Overlap(subject, other) {
				return invalid("subjects", fmt.Sprintf("%q and %q", other, subject), "overlap: a message would be recorded twice", "leave one out")
			}
		}
	}
	if by := c.GetPartitionBy(); by != nil {
		return checkToken(subjects, by)
	}
	return checkExtensions(subjects, c.GetPartitions())
}

// checkToken refuses a token that no message of a subject can have.
func checkToken(subjects []string, by *trestlev1.PartitionBy) error {
	token, isToken := by.GetBy().(*trestlev1.PartitionBy_Token)
	if !isToken {
		return nil
	}
	for _, subject := range subjects {
		if tokens := strings.Count(subject, ".") + 1; tokens < int(token.Token) && !strings.HasSuffix(subject, ">") {
			return invalid("partition_by.token", fmt.Sprint(token.Token), fmt.Sprintf("is more than subject %q has", subject), fmt.Sprintf("use 1 to %d", tokens))
		}
	}
	return nil
}

// checkExtensions checks that the subjects of all partitions of a stream without partition_by do not overlap: partition
// 0 listens on S, partition N on S.N (protocol.md 2.3). S.i and T.j with i, j > 0 never do: their last tokens differ, or
// S and T overlap. S.i overlaps T if T ends in i or * and S overlaps what comes before.
func checkExtensions(subjects []string, partitions int32) error {
	if partitions <= 1 {
		return nil
	}
	last := strconv.Itoa(int(partitions) - 1)
	for _, subject := range subjects {
		if subject == ">" || strings.HasSuffix(subject, ".>") {
			return invalid("subjects", fmt.Sprintf("%q", subject), "ends in > and cannot be extended by .N for more partitions",
				"use one partition, or partition_by")
		}
		if longest := subject + "." + last; len(longest) > names.MaxSubjectLength {
			return invalid("subjects", fmt.Sprintf("%.40q…", subject), fmt.Sprintf("is too long to be extended by .%s", last),
				fmt.Sprintf("use at most %d bytes", names.MaxSubjectLength-len(last)-1))
		}
	}
	for _, extended := range subjects {
		for _, subject := range subjects {
			dot := strings.LastIndexByte(subject, '.')
			if dot < 0 || !extends(subject[dot+1:], partitions) || !names.Overlap(extended, subject[:dot]) {
				continue
			}
			return invalid("subjects", fmt.Sprintf("%q and %q", subject, extended),
				fmt.Sprintf("overlap once partitions add .1 to .%s to the second", last), "rename one, use one partition, or partition_by")
		}
	}
	return nil
}

// extends says whether the token is one that partitions add to their subjects, or stands for one.
func extends(token string, partitions int32) bool {
	if token == "*" {
		return true
	}
	n, err := strconv.ParseInt(token, 10, 32)
	return err == nil && n >= 1 && n < int64(partitions) && strconv.FormatInt(n, 10) == token
}
