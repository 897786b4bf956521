package sandbox

import "sync"

// openai is OpenAI's Uploads API.
func (s *Server) openai() *front { return &front{fail: archetypeFail} }

// arrivals counts the parts that came for each upload: this API has no
// numbers.
type arrivals struct {
	mu sync.Mutex
	n  map[string]int
}

func (a *arrivals) next(upload string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n == nil {
		a.n = map[string]int{}
	}
	a.n[upload]++
	return a.n[upload]
}
