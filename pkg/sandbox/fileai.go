package sandbox

// fileai is file.ai's API.
func (s *Server) fileai() *front { return &front{fail: archetypeFail} }
