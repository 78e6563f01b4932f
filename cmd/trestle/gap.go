package main

import (
	"strconv"

	"github.com/trestlehq/trestle/client"
)

// gapText says for a human where messages are missing.
func gapText(gap *client.Gap) string {
	missing := "nobody knows how many messages"
	if gap.AtLeast > 0 {
		missing = "at least " + count(gap.AtLeast) + " messages"
	}
	text := "gap (" + string(gap.Cause) + ") from " + formatTime(gap.From) + " to " + formatTime(gap.To) + ": " + missing
	if gap.Offset >= 0 {
		text += " before offset " + strconv.FormatInt(gap.Offset, 10)
	}
	return text
}

// appendGapJSON renders a gap as one line: {"gap":{…}}. The offset is that of the message which follows, at_least is
// null when nobody knows.
func appendGapJSON(dst []byte, stream string, partition int, gap *client.Gap) []byte {
	o := jsonObject{dst: append(dst, `{"gap":{`...)}
	o.text("stream", stream)
	o.number("partition", int64(partition))
	o.number("offset", gap.Offset)
	o.text("cause", string(gap.Cause))
	o.text("from", formatTime(gap.From))
	o.text("to", formatTime(gap.To))
	o.name("at_least")
	if gap.AtLeast > 0 {
		o.dst = strconv.AppendUint(o.dst, gap.AtLeast, 10)
	} else {
		o.dst = append(o.dst, "null"...)
	}
	return append(o.dst, "}}\n"...)
}
