// Reads paths, one a line, and writes how java.net.URI reads each, normalized: hexadecimal, or - if it is refused.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;

public class Parse {
    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.ISO_8859_1));
        for (String line; (line = lines.readLine()) != null; ) {
            try {
                String path = new URI(line).normalize().getPath();
                System.out.println(HexFormat.of().formatHex(path.getBytes(StandardCharsets.UTF_8)) + ".");
            } catch (URISyntaxException | NullPointerException refused) {
                System.out.println("-");
            }
        }
    }
}
