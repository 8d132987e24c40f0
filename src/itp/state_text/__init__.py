"""How a state becomes text for a language model: named, versioned renderers and the one prompt builder on top."""
