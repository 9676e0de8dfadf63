// Reads paths, one a line, and writes how net/url and path.Clean read each: hexadecimal, or - if it is refused.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		parsed, err := url.ParseRequestURI(lines.Text())
		if err != nil {
			fmt.Println("- -")
			continue
		}
		fmt.Println(hex.EncodeToString([]byte(parsed.Path)), hex.EncodeToString([]byte(path.Clean("/"+parsed.Path))))
	}
}
