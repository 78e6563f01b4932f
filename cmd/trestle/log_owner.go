package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// logOwner is the partition whose log a folder holds, as the meta.json beside it says: the folders of partitions have names
// that mean nothing to people.
type logOwner struct {
	Stream    string `json:"stream"`
	Partition int64  `json:"partition"`
}

// ownerOf finds the owner of a log; nil: nothing beside it says so, or not readably. The log can be looked into all the same.
func ownerOf(log string) *logOwner {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(log), "meta.json"))
	if err != nil {
		return nil
	}
	owner := new(logOwner)
	if json.Unmarshal(b, owner) != nil || owner.Stream == "" {
		return nil
	}
	return owner
}

// text names the owner behind the name of the folder.
func (o *logOwner) text() string {
	if o == nil {
		return ""
	}
	return fmt.Sprintf(": partition %d of stream %s", o.Partition, o.Stream)
}
