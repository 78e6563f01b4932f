package replication

// UncleanDue says whether a leader has to tell readers, with an UNCLEAN control batch, that an unclean election may have taken
// committed records away (protocol.md 3.7, S1). It is the first batch of the leadership, before the epoch batch, so that a
// log that has anything of the leaderships since then has it, however it was torn. Whoever was elected uncleanly may have
// been deposed before it wrote anything: then it is due at whoever leads next, elected cleanly or not. H is the history
// of the leader's own log, before this leadership.
func UncleanDue(v *View, h *History) bool {
	if mutant("replication-unclean-untold") {
		return v.UncleanEpoch == v.LeaderEpoch
	}
	newest := uint64(0)
	if n := len(h.Epochs); n > 0 {
		newest = h.Epochs[n-1].Epoch
	}
	return v.UncleanEpoch > newest
}
