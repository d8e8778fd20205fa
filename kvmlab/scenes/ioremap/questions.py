"""What a learner may be asked about device mappings, with answers computed from the run."""

from __future__ import annotations

from kvmlab.engine.hardware.descriptor import MEMATTR_SHIFT, memattr_words
from kvmlab.scenes.ioremap.state import Call
from kvmlab.scenes.narrator import Narrator


def ask_about_call(narrator: Narrator, call: Call, at: int, ret: int, live: int) -> None:
    """Put questions before the steps of a call that is over.

    Args:
        narrator: where its steps are.
        call: the call.
        at: number of its last step.
        ret: what it returned.
        live: frames in use now.
    """
    stays = f"{call.mapped} pages" if call.mapped != 1 else "1 page"
    if ret:
        narrator.ask(
            at,
            "The call ends with an error. How many of its pages are mapped now?",
            str(call.mapped),
            [("0", "M31"), (str(call.asked), ""), (str(call.asked - 1), "")],
            f"Linux 3.9 stops at the error and undoes nothing: {stays} of it stay mapped.",
        )
        return
    if not call.mapped and call.asked:
        narrator.ask(
            at,
            "What does the call come to?",
            "no page is mapped, it returns 0",
            [
                (f"{call.asked} mapped, it returns 0", "M31"),
                ("no page is mapped, it returns -22", ""),
            ],
            "The end of the range is cut to 32 bits, so the loop never runs, and that is not taken for an error.",
        )
        return
    narrator.ask(
        call.first + 1,
        f"A device of {call.size:#x} bytes, at IPA {call.ipa:#x}: how many entries are written by the call?",
        str(call.mapped),
        [("0", "M03"), (str(call.size >> 12), ""), (str(call.mapped + 1), "")],
        "One for each page that the loop meets, before any access: a device is not filled in by faults.",
    )
    narrator.ask(
        at,
        f"{stays} of a device are mapped. How many more frames are in use than before the call?",
        str(live - call.live),
        [(str(call.mapped + call.links), "M43"), (str(call.mapped), "M43"), (str(call.links + 2), "")],
        "Frames go to new tables only: the device brings its own registers, and spare frames were given back.",
    )


def ask_about_device(narrator: Narrator, at: int) -> None:
    """Put a question before an access that reaches a device's page."""
    narrator.ask(
        at,
        "The guest goes to a page that ioremap has mapped. Who is asked?",
        "nobody: the hardware goes to the device",
        [("KVM, as for every device", "M42"), ("user space, which plays the device", "M42")],
        "The entry is there and allows it. Holes trap; what is mapped does not.",
    )


def ask_about_hole(narrator: Narrator, at: int) -> None:
    """Put a question before an access to a page with no memory and no device."""
    narrator.ask(
        at,
        "No memory, no device is mapped at this IPA. What does the access do?",
        "it traps to KVM",
        [("it reads zeros, and nothing happens", ""), ("it stops the VM with an error", "M11")],
        "An empty entry is a stage-2 fault; a load or store is then handed to user space to emulate.",
    )


def ask_about_type(narrator: Narrator, at: int, word: int) -> None:
    """Put a question before the step that reads a device entry's memory attribute."""
    narrator.ask(
        at,
        "Which memory type does the entry of this device page ask for?",
        memattr_words(word >> MEMATTR_SHIFT & 0xF),
        [("device", "M43"), ("the entry has none: the address decides", "M43")],
        "The type is four bits of the entry, and 3.9 fills them with the number that stage 1 would use.",
    )
