//go:build !linux && !darwin

package transport

import "errors"

// unsent cannot be asked here.
func unsent(uintptr) (int, error) { return 0, errors.ErrUnsupported }

// boundWaiting cannot be asked for here.
func boundWaiting(uintptr, int) error { return errors.ErrUnsupported }
