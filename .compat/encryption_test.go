package compat

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	lift "github.com/liftbridge-io/go-liftbridge/v2"
)

// encrypting gives the broker a key for values.
func encrypting(b *broker) { b.key = "0123456789abcdef0123456789abcdef" }

// stored says whether any file of the broker holds the text.
func (b *broker) stored(text string) (found bool) {
	b.t.Helper()
	err := filepath.WalkDir(b.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		found = found || bytes.Contains(content, []byte(text))
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// Values of a stream that asks for it lie encrypted on the disk, whoever published them, and readers get them as they were.
func TestEncryption(t *testing.T) {
	b := start(t, encrypting)
	c, ctx := b.connect(lift.ResubscribeWaitTime(patience))
	create(t, ctx, c, "secret", lift.Encryption(true))
	create(t, ctx, c, "open")
	publish(t, ctx, c, "secret", "hidden-value-1")
	publish(t, ctx, c, "open", "shown-value")
	if _, err := c.PublishToSubject(ctx, "secret", []byte("hidden-value-2"), lift.Key([]byte("shown-key"))); err != nil {
		t.Fatal(err)
	}
	if err := b.plain().Publish("secret", []byte("hidden-value-3")); err != nil {
		t.Fatal(err)
	}
	subscribe(t, c, "secret", lift.StartAtEarliestReceived()).expect("hidden-value-1", "hidden-value-2", "hidden-value-3")
	subscribe(t, c, "open", lift.StartAtEarliestReceived()).expect("shown-value")
	if b.stored("hidden-value") || !b.stored("shown-value") || !b.stored("shown-key") {
		t.Errorf("on the disk: hidden values %v, shown values %v, keys %v", b.stored("hidden-value"), b.stored("shown-value"), b.stored("shown-key"))
	}
	t.Run("restart", func(t *testing.T) {
		b.restart(syscall.SIGTERM)
		again, ctx := b.connect()
		publish(t, ctx, again, "secret", "hidden-value-4")
		subscribe(t, again, "secret", lift.StartAtEarliestReceived()).expect("hidden-value-1", "hidden-value-2", "hidden-value-3", "hidden-value-4")
	})
	b.stop(syscall.SIGTERM)
	for name, key := range map[string]string{"another key": strings.Repeat("x", 32), "no key": ""} {
		t.Run(name, func(t *testing.T) { // the broker says what it lacks, and ends
			with := *b
			with.key = key
			if said, err := with.fails(); err == nil || !strings.Contains(said, "start") || !strings.Contains(said, "key") {
				t.Errorf("it ended with %v:\n%s", err, said)
			}
		})
	}
	t.Run("the key again", func(t *testing.T) { // and nothing is the worse
		b.start()
		again, _ := b.connect()
		subscribe(t, again, "secret", lift.StartAtEarliestReceived(), lift.StopAtLatestReceived()).expect("hidden-value-1", "hidden-value-2", "hidden-value-3", "hidden-value-4")
	})
}

// fails runs the broker, which is to end by itself soon, and returns what it said.
func (b *broker) fails() (string, error) {
	cmd, said := b.kind.command(b), &output{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		return "", err
	}
	timer := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	return said.text.String(), err
}

// Without a key there is no encryption, and no stream that claims it.
func TestEncryptionWithoutKey(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	err := c.CreateStream(ctx, "s", "s", lift.Encryption(true))
	if err == nil || !strings.Contains(err.Error(), "FailedPrecondition desc = Failed on preconditions for stream's encryption handler") {
		t.Errorf("got %v", err)
	}
}
