package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// markOf gives the birthmark of the file at path.
func markOf(path string) (birthmark, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO|unix.STATX_BTIME, &st)
	if err != nil {
		return birthmark{}, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	m := birthmark{inode: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		m.seconds, m.nanos = st.Btime.Sec, int64(st.Btime.Nsec)
	}
	return m, nil
}

// freeBytes gives what an unprivileged process can still write in dir.
func freeBytes(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// syncData makes the content of a file durable.
func syncData(file *os.File) error {
	for {
		err := unix.Fdatasync(int(file.Fd()))
		if err != unix.EINTR {
			return err
		}
	}
}
