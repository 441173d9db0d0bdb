#!/usr/bin/env python3
"""A service in Python that publishes two queues, with the standard library alone:

    service.py DIRECTORY SECONDS

One thread makes jobs, another does them, too slowly. Whoever reads DIRECTORY sees how many
wait and how many run (include/seer/queue/README.md).

To publish queues of your own, take the class Segment.

Written for processors that show one thread's stores to others in their order (x86-64). Where they
do not (ARM), write a segment from C.
"""
import atexit
import contextlib
import fcntl
import mmap
import os
import queue
import secrets
import signal
import struct
import sys
import threading
import time

NO_NAME = 0xFFFF
SHARED_SHARD_USED = 0x80000000
CHANNELS = {"nic": 0, "accept": 1, "socket": 2, "queued": 3, "running": 4, "blocked": 5, "send": 6}
BEING_MADE, READY, CLOSED = 0, 1, 2
LIVE = 1

# Offsets of what changes after the segment was made. The words in `self._words` are u64, those in
# `self._halves` u32; each is written with one aligned store, which struct.pack_into("<Q") is not
# sure to be.
STATE = 20
NAMES_COUNT, ROWS_COUNT, SHARDS_USED = 448, 452, 460


class Segment:
    """The counters of this process: up to `rows` queues of `names` services.

    `threads` threads count without a lock, further ones with. OSError: `directory` cannot be used.
    """

    def __init__(self, directory, instance, names=16, rows=16, threads=16):
        self._names_at = 512
        self._rows_at = self._names_at + 64 * names
        self._shards_at = self._rows_at + 64 * rows
        self._stride = (16 * rows + 63) // 64 * 64
        self._capacity = {"names": names, "rows": rows, "shards": threads + 1}
        self._lock = threading.Lock()
        self._names = []
        self._mine = threading.local()

        size = self._shards_at + self._stride * (threads + 1)
        self._file, self.path = self._make_file(directory, size)
        self._map(mmap.mmap(self._file, size))
        self._fill_header(instance, size)
        self._halves[STATE // 4] = READY
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._forget_in_child)

    def add_queue(self, service, channel, name=""):
        """The number of a new queue, for enter() and leave()."""
        service, name = service.encode(), name.encode()
        if not 1 <= len(service) <= 63 or len(name) > 48:
            raise ValueError("a service has 1 to 63 bytes, a queue 0 to 48")
        with self._lock:
            row = self._halves[ROWS_COUNT // 4]
            if row == self._capacity["rows"]:
                raise ValueError("rows: there are %d queues already" % row)
            at = self._rows_at + 64 * row
            struct.pack_into("<IIHHBBBB48s", self._memory, at, LIVE, row, self._name(service),
                             NO_NAME, CHANNELS[channel], 0, len(name), 0, name)
            self._halves[ROWS_COUNT // 4] = row + 1  # from here on readers look at it
            return row

    def enter(self, queue_number):
        """One request more. Before it becomes visible to whoever will leave."""
        self._count(2 * queue_number)

    def leave(self, queue_number):
        """One request less. After it was taken out."""
        self._count(2 * queue_number + 1)

    def close(self):
        """The orderly end. After any other the kernel drops the lock, and readers see that."""
        if self._file is None:
            return
        self._halves[STATE // 4] = CLOSED
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        os.close(self._file)
        self._file = None

    def _count(self, word):
        try:
            shard = self._mine.shard
        except AttributeError:
            shard = self._mine.shard = self._claim_shard()
        at = (self._shards_at + self._stride * shard) // 8 + word
        if shard != 0:
            self._words[at] += 1  # no other thread writes there
        else:
            with self._lock:
                self._words[at] += 1

    def _claim_shard(self):
        with self._lock:
            used = self._halves[SHARDS_USED // 4]
            shard = used + 1 if used + 1 < self._capacity["shards"] else 0  # 0: everybody's
            # Before the first count in it.
            self._halves[SHARDS_USED // 4] = shard or used | SHARED_SHARD_USED
            return shard

    def _name(self, name):
        if name not in self._names:
            number = len(self._names)
            if number == self._capacity["names"]:
                raise ValueError("names: there are %d services already" % number)
            struct.pack_into("<B63s", self._memory, self._names_at + 64 * number, len(name), name)
            self._names.append(name)
            self._halves[NAMES_COUNT // 4] = number + 1
        return self._names.index(name)

    @staticmethod
    def _make_file(directory, size):
        """A locked file of zeros, under a name of our own."""
        try:
            os.mkdir(directory)
            os.chmod(directory, 0o1777)  # beyond the umask
        except FileExistsError:
            pass
        for _ in range(16):
            path = "%s/queues.%d.%s" % (directory, os.getpid(), secrets.token_hex(8))
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Before we had the lock, a sweeper may have taken the file for a leftover.
                if os.fstat(file).st_nlink != 0:
                    os.ftruncate(file, size)
                    os.posix_fallocate(file, 0, size)
                    return file, path
            except BlockingIOError:
                pass
            except OSError:
                os.unlink(path)
                os.close(file)
                raise
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            os.close(file)
        raise OSError("cannot lock a file in " + directory)

    def _map(self, memory):
        self._memory = memory
        # Views and not slices: a store through them is one store.
        self._words = memoryview(memory).cast("Q")
        self._halves = memoryview(memory).cast("I")

    def _fill_header(self, instance, size):
        start_time = namespace = 0  # not known
        boot_id = bytes(16)
        try:
            with open("/proc/self/stat", encoding="utf-8", errors="replace") as stat:
                start_time = int(stat.read().rpartition(")")[2].split()[19])  # field 22
            namespace = os.stat("/proc/self/ns/pid").st_ino
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
                boot_id = bytes.fromhex(boot.read().strip().replace("-", ""))
        except OSError:
            pass
        instance = instance.encode()[:255]
        struct.pack_into("<8sHHIIIQQQQ16sqI", self._memory, 0, b"SEERSEG", 1, 0, 1, 512, BEING_MADE,
                         size, os.getpid(), start_time, namespace, boot_id, time.time_ns(), 2)
        struct.pack_into("<B255s", self._memory, 128, len(instance), instance)
        capacity = self._capacity
        struct.pack_into("<QQQQIIIIII", self._memory, 384, self._names_at, self._rows_at,
                         self._shards_at, self._stride, capacity["names"], capacity["rows"],
                         capacity["rows"], capacity["shards"], 64, 64)

    def _forget_in_child(self):
        """A forked child keeps neither the lock nor the counters: they are its parent's."""
        if self._file is None:
            return
        os.close(self._file)
        self._file = None
        self._lock = threading.Lock()  # another thread of the parent may have held it
        parents = self._memory
        self._words.release()
        self._halves.release()
        self._map(bytearray(parents))  # counts that nobody reads
        parents.close()  # it holds a duplicate of the descriptor


# ---- The service itself.


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: %s DIRECTORY SECONDS" % sys.argv[0])
    end = time.monotonic() + float(sys.argv[2])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # which runs Segment.close()

    segment = Segment(sys.argv[1], instance="thumbnails-0")
    queued = segment.add_queue("thumbnails", "queued")
    running = segment.add_queue("thumbnails", "running")
    jobs = queue.Queue()

    def work():
        while jobs.get() is not None:
            segment.leave(queued)  # after it was taken
            segment.enter(running)
            time.sleep(0.02)
            segment.leave(running)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    made = 0
    while time.monotonic() < end:
        segment.enter(queued)  # before others can see it
        jobs.put("job")
        made += 1
        time.sleep(0.01)
    jobs.put(None)  # the worker does what waits, and ends
    worker.join()
    print("%d jobs" % made)


if __name__ == "__main__":
    main()
