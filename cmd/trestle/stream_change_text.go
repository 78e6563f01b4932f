package main

import (
	"fmt"
	"strings"

	"github.com/trestlehq/trestle/client"
)

// changedText says what a stream has after it was changed.
func changedText(info *client.StreamInfo) string {
	var b strings.Builder
	fmt.Fprintf(&b, "stream %s is now at revision %d\n", info.Config.Name, info.Revision)
	writeConfig(&b, &info.Config)
	return b.String()
}

func deletedText(info *client.StreamInfo) string {
	return fmt.Sprintf("deleted stream %s with %s messages; for an hour, or until the disk is full, they stay in the server's data folder, "+
		"below trash: trestle log inspect DATA-DIR names the stream of each folder there\n", info.Config.Name, count(messagesOf(info)))
}

func deletedJSON(info *client.StreamInfo) []byte {
	o := jsonObject{dst: []byte{'{'}}
	o.text("name", info.Config.Name)
	o.text("uuid", info.UUID)
	o.number("messages", messagesOf(info))
	o.truth("deleted", true)
	return append(o.dst, '}', '\n')
}

// modeText says for each partition in which mode it is; for all at once if that is the same.
func modeText(info *client.StreamInfo) string {
	words := map[client.Mode]string{
		client.ModeActive:   "active: it records and is read",
		client.ModePaused:   "paused: it records nothing until trestle stream resume " + info.Config.Name,
		client.ModeReadOnly: "read-only: it takes nothing more and is read",
	}
	if state := stateText(info.Partitions); state != "mixed" && state != "fault" {
		return fmt.Sprintf("stream %s is %s\n", info.Config.Name, words[client.Mode(state)])
	}
	var b strings.Builder
	for i := range info.Partitions {
		p := &info.Partitions[i]
		fmt.Fprintf(&b, "partition %d of stream %s is %s\n", p.ID, info.Config.Name, words[p.Mode])
	}
	return b.String()
}
