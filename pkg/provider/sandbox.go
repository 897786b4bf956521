package provider

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/multiput/multiput/pkg/provider/manifest"
)

// sandbox is Archetype's manifest for the embedded server, which speaks its
// API: it has no address and no key but those of the server's that is running,
// and its result is the path of the object.
func sandbox() (*Definition, error) {
	b, err := files.ReadFile("builtin/archetype.yaml")
	if err != nil {
		return nil, err
	}
	m := map[string]any{}
	if err := yaml.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	complete, ok := m["complete"].(map[string]any)
	auth, ok2 := m["auth"].(map[string]any)
	if !ok || !ok2 {
		return nil, fmt.Errorf("sandbox: archetype.yaml has no complete or no auth")
	}
	m["name"], m["title"] = Sandbox, "the sandbox"
	delete(m, "base")
	delete(m, "docs")
	delete(auth, "env")
	complete["result"] = ".file_attributes.path"
	if b, err = yaml.Marshal(m); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	p, err := manifest.Parse("builtin/archetype.yaml (for the sandbox)", b)
	if err != nil {
		return nil, err
	}
	return own(p.Moving()), nil
}
