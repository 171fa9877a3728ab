"""The filter of system calls under which every command runs, at every level.

It is a classic BPF program: https://docs.kernel.org/userspace-api/seccomp_filter.html. It denies
what no coursework needs and what has often broken a sandbox before.
"""

import errno
import platform
import struct

# The names that `platform.machine` gives, and the ids that the kernel's audit gives.
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# The number of each call on these architectures.
CLONE, CLONE3, SOCKET = (56, 220), (435, 435), (41, 198)
DENIED = {
    # Keyrings are inherited, and shared by all that a user runs.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # Kernel objects that outlive the processes: another command could find these.
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # Looking into other processes.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # Parts of the kernel that had many holes; io_uring also evades this filter.
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_secret": (447, 447),
    "personality": (135, 92),
    # A command has the CPU cores that it was given.
    "sched_setaffinity": (203, 122),
    # Changing the machine, or what it shows of its files.
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # New namespaces, which make much of the kernel reachable.
    "unshare": (272, 97),
    "setns": (308, 268),
}
NEW_NAMESPACE = 0x7E020000  # all flags of clone() that create a namespace
X32_BIT = 0x40000000  # in the numbers of x86_64's other set of calls
AF_UNIX = 1

BPF_LOAD, BPF_RETURN = 0x20, 0x06
BPF_EQUAL, BPF_AT_LEAST, BPF_ANY_BIT = 0x15, 0x35, 0x45
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # bytes from the beginning of `seccomp_data`
ALLOW, KILL = 0x7FFF0000, 0x80000000
REFUSE, UNKNOWN = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
# ZeroMQ, which a notebook's kernel needs, goes on without network after this error alone.
UNSUPPORTED = 0x00050000 | errno.EOPNOTSUPP


def numbers() -> dict[str, int]:
    """Return the numbers of the denied calls on this machine; none if they are not known here."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        return {}
    which = list(ARCHITECTURES).index(machine)
    return {name: number[which] for name, number in DENIED.items()}


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Encode one BPF instruction; the jumps count instructions to skip."""
    return struct.pack("HBBI", code, if_true, if_false, value)


def system_call_filter(*, network: bool) -> bytes:
    """Return the BPF program for this machine.

    Without `network`, a socket can only connect processes of this machine. Raises OSError if the
    numbers of this machine's system calls are not known here.
    """
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no list of system calls for {machine}")
    which = list(ARCHITECTURES).index(machine)
    parts = [
        instruction(BPF_LOAD, ARCHITECTURE),
        instruction(BPF_EQUAL, ARCHITECTURES[machine], if_true=1),
        instruction(BPF_RETURN, KILL),
        instruction(BPF_LOAD, NUMBER),
        instruction(BPF_AT_LEAST, X32_BIT, if_false=1),
        instruction(BPF_RETURN, KILL),
    ]
    for number in numbers().values():
        parts += [instruction(BPF_EQUAL, number, if_false=1), instruction(BPF_RETURN, REFUSE)]
    parts += [
        # Its flags are in memory, where no filter can see them; callers fall back to clone().
        instruction(BPF_EQUAL, CLONE3[which], if_false=1),
        instruction(BPF_RETURN, UNKNOWN),
        instruction(BPF_EQUAL, CLONE[which], if_false=4),
        instruction(BPF_LOAD, FIRST_ARGUMENT),
        instruction(BPF_ANY_BIT, NEW_NAMESPACE, if_false=1),
        instruction(BPF_RETURN, REFUSE),
        instruction(BPF_RETURN, ALLOW),
    ]
    if not network:
        parts += [
            instruction(BPF_EQUAL, SOCKET[which], if_false=3),
            instruction(BPF_LOAD, FIRST_ARGUMENT),
            instruction(BPF_EQUAL, AF_UNIX, if_true=1),
            instruction(BPF_RETURN, UNSUPPORTED),
        ]
    return b"".join([*parts, instruction(BPF_RETURN, ALLOW)])
