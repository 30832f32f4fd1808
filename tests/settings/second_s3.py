"""An S3 server for one test: says its port, and ends when its standard input does.

Its bucket `fragments` has more keys below staging/b1/ than fit on one page of a listing.
"""

import sys

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
bucket.create_bucket("fragments", "us-east-1")
for number in range(1010):
    bucket.put_object("fragments", f"staging/b1/n{number:04}/validation_report.json", b"{}")
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
