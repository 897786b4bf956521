//go:build !linux && !darwin && !windows

package main

import "errors"

// freeSpace and openFiles are not known here.
func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
func openFiles() (uint64, error)       { return 0, errors.ErrUnsupported }
