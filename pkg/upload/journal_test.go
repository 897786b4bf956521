package upload_test

import (
	"testing"

	"github.com/multiput/multiput/pkg/internal/journaltest"
	"github.com/multiput/multiput/pkg/upload"
)

// The journal in memory keeps the contract that the one on disk keeps.
func TestMemory(t *testing.T) {
	journaltest.Run(t, func(*testing.T) (j, another upload.Journal) {
		m := new(upload.Memory)
		return m, m
	})
}
