// The Go oracle; see ../build.sh.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"os"

	"google.golang.org/protobuf/proto"
	"stagewire.dev/sdk/go/stagewirepb"
)

func text(data []byte) string {
	if len(data) == 0 {
		return "-"
	}
	return hex.EncodeToString(data)
}

func main() {
	in := bufio.NewReader(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	var prefix [4]byte
	for {
		if _, err := io.ReadFull(in, prefix[:]); err == io.EOF {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		data := make([]byte, binary.BigEndian.Uint32(prefix[:]))
		if _, err := io.ReadFull(in, data); err != nil {
			log.Fatal(err)
		}
		var record stagewirepb.Record
		if err := proto.Unmarshal(data, &record); err != nil {
			fmt.Fprintln(out, "no")
			continue
		}
		id, key := record.GetLineage().GetId(), record.GetHeader().GetKey()
		fmt.Fprintln(out, "ok", text(id), text(key), len(record.GetPayload()))
	}
}
