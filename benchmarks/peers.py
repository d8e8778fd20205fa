"""The same question put to general simulators, as their own manuals would: which entries flush?

SimPy: guests are processes that take turns on a resource of one CPU. Mesa: guests are agents, and each step all of them
enter, in an order that is drawn. Both follow the allocator's rule at each entry.
"""

import importlib.util
from collections.abc import Callable


class Host:
    """The allocator's rule in plain Python."""

    def __init__(self, numbers: int) -> None:
        self.numbers = numbers
        self.generation, self.taken, self.entries = 1, 0, 0
        self.flushes: list[int] = []

    def enter(self, guest: "Guest") -> None:
        if guest.generation != self.generation:
            if self.taken == self.numbers:
                self.flushes.append(self.entries)
                self.generation += 1
                self.taken = 0
            guest.generation = self.generation
            self.taken += 1
        self.entries += 1


class Diary(Host):
    """A host that also writes down who enters."""

    def __init__(self, numbers: int) -> None:
        super().__init__(numbers)
        self.ids: list[int] = []

    def enter(self, guest: "Guest") -> None:
        self.ids.append(guest.number)
        super().enter(guest)


class Guest:
    def __init__(self, number: int) -> None:
        self.number, self.generation = number, 0


def simpy(host: Host, guests: int, entries: int) -> None:
    """Let processes queue for the CPU, each for one unit of time, again and again."""
    from simpy import Environment, Resource

    def live(guest: Guest):
        while True:
            with cpu.request() as turn:
                yield turn
                host.enter(guest)
                yield world.timeout(1)

    world = Environment()
    cpu = Resource(world, capacity=1)
    for number in range(guests):
        world.process(live(Guest(number)))
    world.run(until=entries)


def mesa(host: Host, guests: int, entries: int) -> None:
    """Let all agents enter in each step, in an order that is drawn; the last step is finished."""
    from mesa import Agent, Model

    class Entering(Agent):
        def __init__(self, model: Model, number: int) -> None:
            super().__init__(model)
            self.number, self.generation = number, 0

        def step(self) -> None:
            host.enter(self)

    class Guests(Model):
        def __init__(self) -> None:
            super().__init__(rng=1)
            Entering.create_agents(self, guests, list(range(guests)))

        def step(self) -> None:
            self.agents.shuffle_do("step")

    model = Guests()
    while host.entries < entries:
        model.step()


PEERS: dict[str, Callable[[Host, int, int], None]] = {
    name: run for name, run in {"simpy": simpy, "mesa": mesa}.items() if importlib.util.find_spec(name)
}
"""Those that are installed."""
