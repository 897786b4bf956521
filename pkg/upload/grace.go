package upload

import (
	"context"
	"sync"
	"time"
)

// grace is how long what is on its way may still arrive after the upload was
// told to stop.
const grace = 2 * time.Second

// afterGrace gives a context that ends a moment after ctx does, so that parts
// whose bytes are on their way may still bring their receipts home, and
// complete its answer.
func afterGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var (
		mu    sync.Mutex
		timer *time.Timer
		over  bool
	)
	unhook := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			timer = time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
		}
	})
	return later, func() {
		unhook()
		mu.Lock()
		defer mu.Unlock()
		over = true
		if timer != nil {
			timer.Stop()
		}
		cancel(nil)
	}
}
