module stagewire.dev/examples/compaction

go 1.19

require stagewire.dev/sdk/go v0.0.0

require google.golang.org/protobuf v1.28.1 // indirect

replace stagewire.dev/sdk/go => ../../../sdk-stubs/go
