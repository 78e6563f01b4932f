package loadtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// diskAppend is how many bytes the disk's own rate is measured with at a time.
const diskAppend = 256 << 10

// Disk appends to a file in folder as many bytes as the payloads have, fsyncing after each 256 KiB: what a log can reach
// that does nothing else.
func Disk(name, folder string) Side {
	return Side{Name: name, Measure: func(ctx context.Context, l *Load) (m Measurement, err error) {
		file, err := os.Create(filepath.Join(folder, "disk"))
		if err != nil {
			return m, fmt.Errorf("measure the disk: %w", err)
		}
		defer func() {
			err = errors.Join(err, file.Close(), os.Remove(file.Name()))
		}()
		chunk := make([]byte, diskAppend)
		begun := time.Now()
		for left := l.Messages * int64(l.Size); left > 0 && ctx.Err() == nil; left -= diskAppend {
			if _, err := file.Write(chunk[:min(left, diskAppend)]); err != nil {
				return m, fmt.Errorf("measure the disk: %w", err)
			}
			if err := file.Sync(); err != nil {
				return m, fmt.Errorf("measure the disk: %w", err)
			}
		}
		return Measurement{Messages: l.Messages, Took: time.Since(begun)}, ctx.Err()
	}}
}
