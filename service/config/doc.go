// Package config holds every setting of the service: [Load] reads them,
// [Config.Check] says what is wrong with them, and [Config.Settings] shows them
// with secrets masked. Nothing else in the service reads the environment; the
// standard OTEL_* variables are package telemetry's.
//
// Settings come from the environment, over a context of the nats CLI if one is named, over
// an optional YAML file, over the defaults. github.com/ilyakaznacheev/cleanenv reads the defaults and the
// environment from the tags of [Config].
package config
