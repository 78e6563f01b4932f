// Package vfs is the file seam of the commit log: two small interfaces, the real file system behind them ([OS]), and one
// in memory that crashes the way disks do ([Mem]).
//
// # What is durable when
//
// A file is two things that become durable apart from each other: its contents, and its name in a folder.
//
//	after                              survives a power cut
//	WriteAt, Truncate, Preallocate     nothing yet: any part of it may, in any order
//	SyncData                           the contents as they were, and the size; not the name
//	Create, Remove, Rename, MkdirAll   nothing yet: the names in that folder may be the old or the new ones
//	SyncDir(folder)                    the names in that folder; not the contents behind them, nor the folder's own name
//
// So a new file is safe after SyncData on it and SyncDir on its folder, in any order, provided that the folder's own
// name was made durable once, by SyncDir on the folder above. A file is replaced safely by writing another one, SyncData
// on that, Rename over the old, SyncDir. A rename is atomic: after a power cut the file has its old name or its new one.
// Between two folders it is durable when both were synced; when only that of the new name was, either name is possible.
//
// When SyncData fails, what was written before it is in doubt for good: the pages may be marked clean although they
// never reached the disk, reads go on to show them, and the next SyncData succeeds without having written them. Only
// DropCache, or a restart of the machine, makes reads show what the disk holds. Whoever sees SyncData fail must stop
// relying on the file.
//
// # How to crash
//
// [NewMem] makes an empty file system that is its own small machine. Code under test runs on it as on the real one:
//
//	disk := vfs.NewMem(seed)
//	...                              // open a log on disk, append, sync, take notes of what was promised
//	disk = disk.Crash(vfs.KeepRandom)
//	...                              // open the log again: is what was promised still there?
//
// [Mem.Crash] is a power cut. The old instance is dead, every call on it and on its files and locks returns
// [ErrCrashed]; the new one holds what survived. Equal seeds and equal calls give equal outcomes. [Mem.CrashClone] gives
// what Crash would have, while the original goes on: taken from a hook before every operation it enumerates all crash
// points of a history in one run:
//
//	disk.OnOp(func(vfs.Op) error {
//		check(disk.CrashClone(vfs.KeepRandom))
//		return nil
//	})
//
// [Mem.Kill] ends the process but not the machine: files and locks are gone as after a power cut, what was not synced is
// still there and still not synced.
//
// # What survives a crash
//
// With [KeepNone] what was synced, with [KeepAll] everything, with [KeepRandom] something in between, chosen from the
// seed by the rules of common file systems:
//
//   - Contents live in sectors of 512 bytes, which are atomic. Each sector holds what it held after some change since
//     the last SyncData, or before all of them. Writes may so be lost, kept or torn, in any order; a later write that
//     reached a sector brings along the earlier ones to the same sector.
//   - The size is the one after some change since the last SyncData, or before all of them, whatever became of the
//     contents. Where the size is kept and the contents are not, they read as zeros; contents beyond the size are gone.
//     A truncation is kept or lost together with the size, and never brings old contents back when the file grows again.
//   - Changes of names are kept or lost one by one, except that a change is kept only together with the earlier ones it
//     builds on: those of the same names, for a rename those that made the folders above its new name, for the removal
//     of a folder all changes within. Nothing disappears or appears twice by a rename alone.
//   - What a failed SyncData left behind does not survive (see [Mem.FailNextSync]).
//
// # Other faults
//
// [Mem.OnOp] sees every operation before it happens and may make it fail, [Mem.FailNextSync] makes a SyncData fail the
// way described above, [Mem.SetCapacity] fills the disk, [Mem.FlipBit] and [Mem.ZeroRange] damage a file at rest,
// [Mem.Reads] tells how much was read. All of them may be combined, and used while other goroutines use the files.
package vfs
