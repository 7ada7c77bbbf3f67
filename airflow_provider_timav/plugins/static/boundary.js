// Contains an error in one row: the page and the other rows go on.

const { Component } = globalThis.React;

/** Shows `instead` if its children cannot be drawn, until `text`, from which they are drawn, changes. */
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
