package live

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is one process of a node, from its start to its end.
type child struct {
	cmd   *exec.Cmd
	log   string // file that has what it said
	from  int64  // where that begins
	ended chan struct{}

	mu     sync.Mutex // guards what follows
	up     bool       // it took writes
	over   bool       // it has ended
	wanted bool       // somebody here ended it, or will
	err    error      // how it ended
}

// starter starts all processes of a run from one thread, which lives as long as
// the run: where the system can, they are killed when that thread ends, so that
// none outlives this process whatever happens to it.
type starter struct {
	asked chan func()
	done  chan struct{}
}

func newStarter() *starter {
	s := &starter{asked: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for do := range s.asked {
			do()
		}
	}()
	return s
}

func (s *starter) close() {
	close(s.asked)
	<-s.done
}

// start starts a process whose output goes to the end of a file. onDeath is
// called when it has ended by itself after it was up.
func (s *starter) start(args, env []string, logFile string, onDeath func(*child)) (*child, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of a node: %w", err)
	}
	from, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("log of a node: %w", err), out.Close())
	}
	c := &child{cmd: exec.Command(args[0], args[1:]...), log: logFile, from: from, ended: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = processAttributes()
	began := make(chan error, 1)
	s.asked <- func() { began <- c.cmd.Start() }
	if err := errors.Join(<-began, out.Close()); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	go func() {
		if c.note(c.cmd.Wait()) {
			onDeath(c)
		}
	}()
	return c, nil
}

// pid is the process's id.
func (c *child) pid() int { return c.cmd.Process.Pid }

// alive reports whether the process has not ended.
func (c *child) alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// want notes that the end of the process is meant.
func (c *child) want() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = true
}

// note notes how the process ended, and tells whether nobody had expected it.
func (c *child) note(err error) (alarm bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over, c.err = true, err
	close(c.ended)
	return c.up && !c.wanted
}

// serve notes that the process is up, unless it has ended.
func (c *child) serve() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up = !c.over
	return c.up
}

// outcome is how the process ended.
func (c *child) outcome() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *child) signal(s syscall.Signal) error {
	err := c.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// kill ends the process at once.
func (c *child) kill() error {
	c.want()
	if err := c.signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill process %d: %w", c.pid(), err)
	}
	<-c.ended
	return nil
}

// stopWithin is how long a node may take to stop when asked to (F62).
const stopWithin = 15 * time.Second

// terminate asks the process to end. It returns how it did not do so as it
// should, and has it ended in any case.
func (c *child) terminate() error {
	c.want()
	if err := c.signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop process %d: %w", c.pid(), err)
	}
	late := time.NewTimer(stopWithin)
	defer late.Stop()
	select {
	case <-c.ended:
	case <-late.C:
		return errors.Join(fmt.Errorf("it did not stop within %v of SIGTERM", stopWithin), c.kill())
	}
	if err := c.outcome(); err != nil {
		return fmt.Errorf("it stopped with %w", err)
	}
	return nil
}

// saidBytes bounds what is read of a log.
const saidBytes = 64 << 20

// said is what the process wrote, or what keeps it from being read.
func (c *child) said() string {
	file, err := os.Open(c.log)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if _, err := file.Seek(c.from, io.SeekStart); err != nil {
		return err.Error()
	}
	text, err := io.ReadAll(io.LimitReader(file, saidBytes))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// lastWords are the last lines of a text.
func lastWords(text string) string {
	const most = 800
	if len(text) <= most {
		return text
	}
	text = text[len(text)-most:]
	return text[strings.IndexByte(text, '\n')+1:]
}
