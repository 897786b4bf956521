package realstore

import (
	"fmt"
	"os/exec"
	"runtime"
)

// process is a started server.
type process struct {
	ended chan struct{} // closed when it has ended and err is set
	err   error
}

// launch starts cmd so that it does not outlive this process, where the
// system can promise that.
func launch(cmd *exec.Cmd) (*process, error) {
	dieWithParent(cmd)
	p := &process{ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Linux takes the end of the thread that started a child for the end of
		// its parent, so that thread waits here until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}
