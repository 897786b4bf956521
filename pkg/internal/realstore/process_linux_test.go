package realstore_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/internal/realstore"
)

// TestStoreDiesWithItsProcess kills a test process outright, so that none of
// its cleanups run, and looks whether its server is gone.
func TestStoreDiesWithItsProcess(t *testing.T) {
	const childEnv = "REALSTORE_TEST_CHILD"
	if os.Getenv(childEnv) != "" {
		fmt.Println("endpoint:", realstore.VersityGW(t).Endpoint)
		<-t.Context().Done() // until it is killed
		return
	}
	realstore.VersityGW(t) // skips or fails here, with the reason, if there is none

	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var endpoint string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "endpoint: "); ok {
			endpoint = rest
			break
		}
	}
	if endpoint == "" {
		t.Fatalf("the child named no endpoint: %v", cmd.Wait())
	}
	if !answers(t.Context(), t, endpoint) {
		t.Error("the server does not listen while its process lives")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, so never nil

	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); answers(t.Context(), t, endpoint); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("the server outlives its process")
		}
	}
}
