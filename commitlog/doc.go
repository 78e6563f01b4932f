// Package commitlog keeps a log of batches in a folder of segment files: appended at one end, read from anywhere, deleted
// from the other end. It uses nothing but the standard library and package batch, starts no goroutine, writes no log
// lines and reads no clock.
//
//	log, report, err := commitlog.Open(dir, commitlog.Options{Files: files, Marks: marks, Partition: uuid})
//	appended, err := log.Append(epoch, now, batches...) // in the log, and can be read
//	durable, err := log.Sync()                          // survives any crash
//	log.Commit(durable)                                 // may be shown to consumers
//	run, err := log.ReadFrom(offset).Read(buf, log.Committed())
//
// DESIGN.md has the format, what is promised, what happens after a crash, and why.
package commitlog
