package metadata

import (
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// firstFeatureLevel is the level that every cluster begins at.
const firstFeatureLevel = 1

// initNumber is InitCluster's, the only command that a cluster without a name admits.
const initNumber = 1

// Row is one kind of command.
type Row struct {
	// Number in the oneof of Command.
	Number int32
	Name   string
	// Level is the feature level from which on the command may be proposed.
	Level uint32
	apply func(c *change, cmd *clusterv1.Command) (*clusterv1.Answer, *Refusal)
}

// Table returns every command that this version knows, in the order of their numbers.
func Table() []Row {
	return []Row{
		row(initNumber, "InitCluster", (*clusterv1.Command).GetInitCluster, (*change).initCluster),
		row(2, "SetFeatureLevel", (*clusterv1.Command).GetSetFeatureLevel, (*change).setFeatureLevel),
		row(3, "RegisterBroker", (*clusterv1.Command).GetRegisterBroker, (*change).registerBroker),
		row(4, "FenceBrokers", (*clusterv1.Command).GetFenceBrokers, (*change).fenceBrokers),
		row(5, "DrainBroker", (*clusterv1.Command).GetDrainBroker, (*change).drainBroker),
		row(6, "RemoveBroker", (*clusterv1.Command).GetRemoveBroker, (*change).removeBroker),
		row(10, "AlterISR", (*clusterv1.Command).GetAlterIsr, (*change).alterISR),
		row(11, "ReportDamage", (*clusterv1.Command).GetReportDamage, (*change).reportDamage),
		row(12, "TransferLeaders", (*clusterv1.Command).GetTransferLeaders, (*change).transferLeaders),
		row(13, "ElectUnclean", (*clusterv1.Command).GetElectUnclean, (*change).electUnclean),
		row(14, "ElectLastKnown", (*clusterv1.Command).GetElectLastKnown, (*change).electLastKnown),
		row(15, "Reassign", (*clusterv1.Command).GetReassign, (*change).reassign),
		row(16, "CancelReassign", (*clusterv1.Command).GetCancelReassign, (*change).cancelReassign),
		row(20, "ReserveProducerIDs", (*clusterv1.Command).GetReserveProducerIds, (*change).reserveProducerIDs),
		row(21, "ReserveOffsets", (*clusterv1.Command).GetReserveOffsets, (*change).reserveOffsets),
		row(30, "CreateStream", (*clusterv1.Command).GetCreateStream, (*change).createStream),
		row(31, "UpdateStream", (*clusterv1.Command).GetUpdateStream, (*change).updateStream),
		row(32, "DeleteStream", (*clusterv1.Command).GetDeleteStream, (*change).deleteStream),
		row(33, "SetStreamMode", (*clusterv1.Command).GetSetStreamMode, (*change).setStreamMode),
		row(34, "AckDeleted", (*clusterv1.Command).GetAckDeleted, (*change).ackDeleted),
		row(40, "PutGroup", (*clusterv1.Command).GetPutGroup, (*change).putGroup),
		row(41, "DeleteGroup", (*clusterv1.Command).GetDeleteGroup, (*change).deleteGroup),
	}
}

func row[C any](number int32, name string, get func(*clusterv1.Command) *C, apply func(*change, *C) (*clusterv1.Answer, *Refusal)) Row {
	return Row{
		Number: number, Name: name, Level: firstFeatureLevel,
		apply: func(c *change, cmd *clusterv1.Command) (*clusterv1.Answer, *Refusal) { return apply(c, get(cmd)) },
	}
}

// rowOf finds the row of a command; false: it holds none.
func rowOf(cmd *clusterv1.Command) (Row, bool) {
	m := cmd.ProtoReflect()
	field := m.WhichOneof(m.Descriptor().Oneofs().ByName("command"))
	if field == nil {
		return Row{}, false
	}
	for _, r := range Table() {
		if r.Number == int32(field.Number()) {
			return r, true
		}
	}
	return Row{}, false
}
