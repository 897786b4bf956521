package sandbox

// upscayl is Upscayl Cloud's API.
func (s *Server) upscayl() *front { return &front{fail: archetypeFail} }
