// Package signature takes and gives anything.
package signature

func Take(x any) {}

func Give() map[string]interface{} { return nil }

func take(x any) {}
