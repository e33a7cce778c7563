package storage

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.podman.io/storage/pkg/configfile"
	"go.podman.io/storage/pkg/homedir"
	"go.podman.io/storage/pkg/unshare"
)

// ConfigFile is a configuration file that was found.
type ConfigFile struct {
	Path string
	Data []byte
}

// RegistriesFiles reads registries.conf, its drop-in files, and the short names that earlier pulls recorded, as the
// library that pulls finds them; what counts most comes last. It is to be called after Open, which tells the library for
// whom it looks. A missing file is none.
func RegistriesFiles() ([]ConfigFile, error) {
	var files []ConfigFile
	for item, err := range configfile.Read(&configfile.File{
		Name: "registries", Extension: "conf", EnvironmentName: "CONTAINERS_REGISTRIES_CONF", UserId: unshare.GetRootlessUID(),
	}) {
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(item.Reader)
		if err != nil {
			return nil, err
		}
		files = append(files, ConfigFile{item.Name, data})
	}
	cache := "/var/cache"
	if unshare.GetRootlessUID() != 0 {
		var err error
		if cache, err = homedir.GetCacheHome(); err != nil {
			return nil, err
		}
	}
	recorded := filepath.Join(cache, "containers/short-name-aliases.conf")
	data, err := os.ReadFile(recorded)
	if errors.Is(err, fs.ErrNotExist) {
		return files, nil
	}
	return append(files, ConfigFile{recorded, data}), err
}
