// What one row does wrong stays its own: the page and the other rows go on.

const { Component } = globalThis.React;

/** Shows `instead` where its children cannot be drawn, until `text` (what they are drawn from) is another. */
export class Boundary extends Component {
  state = { broken: null };

  static getDerivedStateFromError() {
    return { broken: true };
  }

  componentDidUpdate(before) {
    if (this.state.broken && before.text !== this.props.text) this.setState({ broken: null });
  }

  render() {
    return this.state.broken ? this.props.instead : this.props.children;
  }
}
