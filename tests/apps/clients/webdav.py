"""webdav4 stores, copies, moves, lists and removes files with unusual names: the token is the password."""

from __future__ import annotations

import os
from io import BytesIO

from webdav4.client import Client

# webdav4 sends `#` and `%` in a name to no server as they are meant: such names are left out.
NAMES = ("a b.txt", "a;b.txt", "file[1].txt", "Zoë.txt")

if __name__ == "__main__":
    client = Client(os.environ["URL"], auth=("token", os.environ["TOKEN"]))
    client.mkdir("folder")
    for name in NAMES:
        client.upload_fileobj(BytesIO(name.encode()), f"folder/{name}")
    client.copy("folder/a b.txt", "folder/copy of a b.txt")
    client.move("folder/a;b.txt", "folder/c;d.txt")
    client.remove("folder/file[1].txt")
    for path in sorted(client.ls("folder", detail=False)):
        content = BytesIO()
        client.download_fileobj(path, content)
        print(path, content.getvalue().decode())
