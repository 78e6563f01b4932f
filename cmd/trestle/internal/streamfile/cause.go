package streamfile

import (
	"strings"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

const causePrefix = "GAP_CAUSE_"

// causeNumber is the number of a cause in a batch, 0 for one that is not known here.
func causeNumber(cause client.GapCause) batch.GapCause {
	return batch.GapCause(trestlev1.GapCause_value[causePrefix+strings.ToUpper(string(cause))])
}

func causeName(number batch.GapCause) client.GapCause {
	name := trestlev1.GapCause_name[int32(number)]
	return client.GapCause(strings.ToLower(strings.TrimPrefix(name, causePrefix)))
}
