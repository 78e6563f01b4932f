package metrics

import (
	"time"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// Measured is the file system fsys, with what is written to it and how long it takes to sync measured.
func (m *Metrics) Measured(fsys vfs.FS) vfs.FS { return &disk{FS: fsys, metrics: m} }

type disk struct {
	vfs.FS
	metrics *Metrics
}

func (d *disk) Open(name string) (vfs.File, error)          { return d.wrap(d.FS.Open(name)) }
func (d *disk) OpenReadWrite(name string) (vfs.File, error) { return d.wrap(d.FS.OpenReadWrite(name)) }
func (d *disk) Create(name string) (vfs.File, error)        { return d.wrap(d.FS.Create(name)) }

func (d *disk) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &file{File: f, metrics: d.metrics}, nil
}

func (d *disk) SyncDir(name string) error {
	begun := time.Now()
	err := d.FS.SyncDir(name)
	d.metrics.syncDirTime.Observe(time.Since(begun).Seconds())
	return err
}

type file struct {
	vfs.File
	metrics *Metrics
}

func (f *file) WriteAt(b []byte, offset int64) (int, error) {
	n, err := f.File.WriteAt(b, offset)
	f.metrics.writtenBytes.Add(float64(n))
	return n, err
}

func (f *file) SyncData() error {
	begun := time.Now()
	err := f.File.SyncData()
	f.metrics.syncTime.Observe(time.Since(begun).Seconds())
	return err
}
