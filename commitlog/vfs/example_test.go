package vfs_test

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// A file that was written and synced is not safe before its folder was synced.
func ExampleMem_Crash() {
	disk := vfs.NewMem(1)
	f, err := disk.Create("a")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, writeErr := f.WriteAt([]byte("hello"), 0)
	if err := errors.Join(writeErr, f.SyncData()); err != nil {
		fmt.Println(err)
	}
	_, err = disk.CrashClone(vfs.KeepNone).Open("a")
	fmt.Println("before the sync of the folder, lost:", errors.Is(err, fs.ErrNotExist))

	if err := disk.SyncDir("/"); err != nil {
		fmt.Println(err)
	}
	_, err = disk.Crash(vfs.KeepNone).Open("a")
	fmt.Println("after it, lost:", errors.Is(err, fs.ErrNotExist))

	_, err = disk.Open("a")
	fmt.Println("the old instance:", err)
	// Output:
	// before the sync of the folder, lost: true
	// after it, lost: false
	// the old instance: Open a: the file system has crashed; go on with the one that Crash returned
}
