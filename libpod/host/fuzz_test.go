package host

import "testing"

// FuzzConfigs reads the files that doctor looks at.
func FuzzConfigs(f *testing.F) {
	f.Add([]byte("[storage]\ndriver = \"overlay\"\n"))
	f.Add([]byte("unqualified-search-registries = [\"docker.io\"]\n[[registry]]\nprefix=\"a\"\n[[registry.mirror]]\nlocation=\"b\"\n"))
	f.Add([]byte(`{"default":[{"type":"reject"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, check := range []func([]byte) error{checkStorage, checkRegistries, checkPolicy} {
			if err := check(b); err != nil && err.Error() == "" {
				t.Errorf("%q is refused without a word", b)
			}
		}
	})
}
