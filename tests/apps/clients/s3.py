"""boto3 signs its requests, so Authorization is the app's own: the token is in X-Token."""

from __future__ import annotations

import os
from typing import Any

import boto3
from botocore.config import Config

KEYS = ("plain", "a//b", "C# notes", "100%", "a+b", "a%2Fb", "with;semicolon", "question?")


def add_token(request: Any, **_: object) -> None:
    """Add the token before the request is signed."""
    request.headers["X-Token"] = os.environ["TOKEN"]


if __name__ == "__main__":
    client = boto3.client(
        "s3",
        endpoint_url=os.environ["URL"],
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
    )
    client.meta.events.register("before-sign.s3", add_token)
    client.create_bucket(Bucket="bucket")
    for key in KEYS:
        client.put_object(Bucket="bucket", Key=key, Body=key.encode() * 1000)
        print(key, len(client.get_object(Bucket="bucket", Key=key)["Body"].read()))
    upload = client.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
    part = client.upload_part(Bucket="bucket", Key="parts", UploadId=upload, PartNumber=1, Body=bytes(6_000_000))
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    client.complete_multipart_upload(Bucket="bucket", Key="parts", UploadId=upload, MultipartUpload=parts)
    print([(entry["Key"], entry["Size"]) for entry in client.list_objects_v2(Bucket="bucket")["Contents"]])
