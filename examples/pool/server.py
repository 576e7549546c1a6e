"""A server that takes a second to start: it makes a table before it listens."""
import http.server
import time

began = time.monotonic()
table = {}
while time.monotonic() - began < 1:
    table[len(table)] = str(len(table)) * 8


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from a table of %d\n" % len(table))

    def log_message(self, *args):
        pass


http.server.HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
