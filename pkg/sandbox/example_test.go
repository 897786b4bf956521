package sandbox_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/multiput/multiput/pkg/sandbox"
)

// A test of another program talks to the sandbox instead of the vendor, and has it
// fail once to see what the program does then. In a test, Dir is t.TempDir() and
// the server is closed by t.Cleanup.
func ExampleServer_Handler() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	faults, err := sandbox.ParseFaults("create@times=1:status=503")
	if err != nil {
		fmt.Println(err)
		return
	}
	s := &sandbox.Server{API: "openai", Dir: dir, Key: "sk-test", Faults: faults}
	h, err := s.Handler()
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(h)
	defer server.Close()

	// The program under test would have server.URL + sandbox.Base("openai") as its base URL.
	for range 2 {
		body := strings.NewReader(`{"purpose":"batch","filename":"a.jsonl","bytes":3,"mime_type":"text/jsonl"}`)
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL+sandbox.Base("openai")+"/uploads", body)
		if err != nil {
			fmt.Println(err)
			return
		}
		r.Header.Set("Authorization", "Bearer sk-test")
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = answer.Body.Close()
		fmt.Println(answer.StatusCode)
	}
	fmt.Println("faults that did not happen:", faults.Unfired())
	// Output:
	// 503
	// 200
	// faults that did not happen: []
}
