package live

import "syscall"

// processAttributes keeps signals of the terminal from the processes of a run.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
