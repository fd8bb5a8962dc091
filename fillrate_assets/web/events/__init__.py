"""Events of orders over HTTP: who may send them, how they are written, and what they are answered."""
