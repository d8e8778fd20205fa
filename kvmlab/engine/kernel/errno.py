"""Error numbers of Linux; functions return them negated."""

ENOMEM, EFAULT, EINVAL, ENOSYS = 12, 14, 22, 38

NAMES = {ENOMEM: "ENOMEM", EFAULT: "EFAULT", EINVAL: "EINVAL", ENOSYS: "ENOSYS"}


def strerror(ret: int) -> str:
    """Return a return value as the kernel's sources write it.

    >>> strerror(-14), strerror(0)
    ('-EFAULT', '0')
    """
    return f"-{NAMES[-ret]}" if -ret in NAMES else str(ret)
