package main

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/core"
	"github.com/causeway-sync/causeway/edge"
	"github.com/causeway-sync/causeway/internal/config"
)

// TestAnnotatedConfigs: the files in configs/ are the defaults, with every key.
func TestAnnotatedConfigs(t *testing.T) {
	t.Parallel()
	checkAnnotated(t, "../../configs/edge.yaml", edge.DefaultConfig())
	checkAnnotated(t, "../../configs/core.yaml", core.DefaultConfig())
}

func checkAnnotated[T interface{ Validate() error }](t *testing.T, path string, want T) {
	t.Helper()
	var got T
	if err := config.Load(path, &got); err != nil {
		t.Fatal(err)
	}
	v, w := reflect.ValueOf(&got).Elem(), reflect.ValueOf(want)
	for i := range v.NumField() {
		// An empty list and none are the same.
		if v.Field(i).Kind() == reflect.Slice && v.Field(i).Len() == 0 && w.Field(i).Len() == 0 {
			continue
		}
		if !reflect.DeepEqual(v.Field(i).Interface(), w.Field(i).Interface()) {
			t.Errorf("%s: %s = %v, the default is %v", path, v.Type().Field(i).Name, v.Field(i), w.Field(i))
		}
	}
	if err := got.Validate(); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range v.NumField() {
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if !regexp.MustCompile(`(?m)^# .*\n` + key + `:`).Match(text) {
			t.Errorf("%s: %s is missing or has no comment above it", path, key)
		}
	}
}
