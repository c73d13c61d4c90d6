package live

import "syscall"

// processAttributes keeps signals of the terminal from the processes of a run,
// and has them killed when the thread that started them ends.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
