"""Turn events into what a learner sees, as plain data: pictures with named parts and the steps that change them."""
