package store

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// markOf gives the birthmark of the file at path.
func markOf(path string) (birthmark, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return birthmark{}, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return birthmark{inode: st.Ino, seconds: st.Birthtimespec.Sec, nanos: st.Birthtimespec.Nsec}, nil
}

// freeBytes gives what an unprivileged process can still write in dir.
func freeBytes(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// syncData makes the content of a file durable; Sync asks the drive too.
func syncData(file *os.File) error { return file.Sync() }
