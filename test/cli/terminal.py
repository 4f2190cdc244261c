"""Runs a command in a pseudo-terminal: terminal.py COLUMNS ROWS COMMAND...

Standard input takes one JSON value a line: {"write": "q"}, {"resize": [80, 24]} or {"signal": 2}. What the command
writes goes to the standard output as it is. Exits as the command does, with 128 + n after signal n. The last line of the
standard error says whether the terminal was left as it was found: "modes kept" or "modes changed".
"""
import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios

columns, rows, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]


def resize(fd, columns, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


master, slave = pty.openpty()
resize(slave, columns, rows)
before = termios.tcgetattr(slave)
child = os.fork()
if child == 0:
    os.close(master)
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.execvp(command[0], command)

pending = b""
status = None
reading = [master, 0]
while status is None:
    ready, _, _ = select.select(reading, [], [], 0.02)
    if master in ready:
        try:
            os.write(1, os.read(master, 65536))
        except OSError:
            reading.remove(master)
    if 0 in ready:
        chunk = os.read(0, 65536)
        if chunk == b"":
            reading.remove(0)
        pending += chunk
        while b"\n" in pending:
            line, pending = pending.split(b"\n", 1)
            order = json.loads(line)
            if "write" in order:
                os.write(master, order["write"].encode())
            if "resize" in order:
                resize(master, *order["resize"])
            if "signal" in order:
                os.kill(child, order["signal"])
    done, code = os.waitpid(child, os.WNOHANG)
    if done != 0:
        status = 128 + os.WTERMSIG(code) if os.WIFSIGNALED(code) else os.WEXITSTATUS(code)

while select.select([master], [], [], 0.05)[0]:
    try:
        os.write(1, os.read(master, 65536))
    except OSError:
        break
after = termios.tcgetattr(slave)
sys.stderr.write("modes kept\n" if before == after else "modes changed\n")
sys.exit(status)
